CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE captions (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	picture_id INTEGER NOT NULL,
	model VARCHAR(128) NOT NULL,
	checkpoint VARCHAR(64) NOT NULL,
	options JSON NOT NULL,
	options_key VARCHAR(64) NOT NULL,
	summary TEXT NOT NULL,
	text TEXT NOT NULL,
	words JSON NOT NULL,
	seconds JSON NOT NULL,
	confidence FLOAT NOT NULL,
	notes JSON NOT NULL,
	created_at DATETIME NOT NULL, program VARCHAR(16) DEFAULT '' NOT NULL, asker_id INTEGER,
	CONSTRAINT fk_captions_picture_id_pictures FOREIGN KEY(picture_id) REFERENCES pictures (id) ON DELETE CASCADE
);
CREATE TABLE corrections (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	user_id INTEGER NOT NULL,
	caption_id INTEGER NOT NULL,
	text TEXT NOT NULL,
	created_at DATETIME NOT NULL,
	CONSTRAINT fk_corrections_caption_id_captions FOREIGN KEY(caption_id) REFERENCES captions (id) ON DELETE CASCADE,
	CONSTRAINT fk_corrections_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE "jobs" (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	user_id INTEGER NOT NULL,
	chat_id BIGINT NOT NULL,
	message_id BIGINT NOT NULL,
	kind VARCHAR(16) NOT NULL,
	file_id VARCHAR(256) NOT NULL,
	file_unique_id VARCHAR(64) NOT NULL,
	options JSON,
	options_key VARCHAR(64) NOT NULL,
	source_caption_id INTEGER,
	language VARCHAR(16) NOT NULL,
	state VARCHAR(16) NOT NULL,
	attempts INTEGER NOT NULL,
	caption_id INTEGER,
	keeps_picture BOOLEAN NOT NULL,
	sending_at DATETIME,
	reply_message_id BIGINT,
	reason TEXT,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	model VARCHAR(128) DEFAULT ('') NOT NULL,
	part SMALLINT DEFAULT '0' NOT NULL,
	notice_message_id BIGINT,
	message_thread_id BIGINT,
	business_connection_id VARCHAR(128),
	direct_messages_topic_id BIGINT,
	sender VARCHAR(16) DEFAULT ('') NOT NULL,
	compared_with TEXT,
	owner VARCHAR(16),
	held_at DATETIME,
	lost_answers SMALLINT DEFAULT '0' NOT NULL,
	failure VARCHAR(32),
	question TEXT,
	about_caption_id INTEGER,
	CONSTRAINT ck_jobs_kind CHECK (kind IN ('caption', 'variant', 'question')),
	CONSTRAINT ck_jobs_state CHECK (state IN ('accepted', 'working', 'answered', 'failed')),
	CONSTRAINT fk_jobs_about_caption_id_captions FOREIGN KEY(about_caption_id) REFERENCES captions (id) ON DELETE SET NULL,
	CONSTRAINT fk_jobs_caption_id_captions FOREIGN KEY(caption_id) REFERENCES captions (id) ON DELETE SET NULL,
	CONSTRAINT fk_jobs_source_caption_id_captions FOREIGN KEY(source_caption_id) REFERENCES captions (id) ON DELETE SET NULL,
	CONSTRAINT fk_jobs_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
	CONSTRAINT uq_jobs_picture UNIQUE (chat_id, message_id, kind, options_key, model, part, file_unique_id)
);
CREATE TABLE leavings (
	user_id INTEGER NOT NULL,
	CONSTRAINT fk_leavings_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
	CONSTRAINT pk_leavings PRIMARY KEY (user_id)
);
CREATE TABLE muted (
	telegram_id BIGINT NOT NULL,
	muted_at DATETIME NOT NULL,
	CONSTRAINT pk_muted PRIMARY KEY (telegram_id)
);
CREATE TABLE pictures (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	file_unique_id VARCHAR(64) NOT NULL,
	sha256 VARCHAR(64) NOT NULL,
	size BIGINT NOT NULL,
	width INTEGER NOT NULL,
	height INTEGER NOT NULL,
	path VARCHAR(128),
	created_at DATETIME NOT NULL, kept_at DATETIME,
	CONSTRAINT uq_pictures_file_unique_id UNIQUE (file_unique_id)
);
CREATE TABLE posted_updates (
	update_id BIGINT NOT NULL,
	body JSON,
	telegram_id BIGINT,
	held_at DATETIME NOT NULL,
	CONSTRAINT pk_posted_updates PRIMARY KEY (update_id)
);
CREATE TABLE ratings (
	user_id INTEGER NOT NULL,
	caption_id INTEGER NOT NULL,
	mark SMALLINT NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	CONSTRAINT ck_ratings_mark CHECK (mark BETWEEN 1 AND 5),
	CONSTRAINT fk_ratings_caption_id_captions FOREIGN KEY(caption_id) REFERENCES captions (id) ON DELETE CASCADE,
	CONSTRAINT fk_ratings_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
	CONSTRAINT pk_ratings PRIMARY KEY (user_id, caption_id)
);
CREATE TABLE removals (
	path VARCHAR(128) NOT NULL,
	CONSTRAINT pk_removals PRIMARY KEY (path)
);
CREATE TABLE restores (
	restored_at DATETIME NOT NULL,
	asked_until DATETIME NOT NULL,
	CONSTRAINT pk_restores PRIMARY KEY (restored_at)
);
CREATE TABLE scores (
	caption_id INTEGER NOT NULL,
	marks INTEGER NOT NULL,
	total INTEGER NOT NULL,
	shortfall FLOAT NOT NULL,
	kept BOOLEAN NOT NULL,
	marked_at DATETIME NOT NULL,
	CONSTRAINT fk_scores_caption_id_captions FOREIGN KEY(caption_id) REFERENCES captions (id) ON DELETE CASCADE,
	CONSTRAINT pk_scores PRIMARY KEY (caption_id)
);
CREATE TABLE secrets (
	name VARCHAR(32) NOT NULL,
	value VARCHAR(128) NOT NULL,
	CONSTRAINT pk_secrets PRIMARY KEY (name)
);
CREATE TABLE sendings (
	picture_id INTEGER NOT NULL,
	sender VARCHAR(16) NOT NULL,
	keeps BOOLEAN NOT NULL,
	CONSTRAINT fk_sendings_picture_id_pictures FOREIGN KEY(picture_id) REFERENCES pictures (id) ON DELETE CASCADE,
	CONSTRAINT pk_sendings PRIMARY KEY (picture_id, sender)
);
CREATE TABLE "shown_messages" (
	id INTEGER NOT NULL,
	chat_id BIGINT,
	message_id BIGINT,
	inline_message_id VARCHAR(128),
	kind VARCHAR(16) NOT NULL,
	caption_id INTEGER,
	job_id INTEGER,
	user_id INTEGER,
	unsigned BOOLEAN NOT NULL,
	created_at DATETIME NOT NULL,
	CONSTRAINT ck_shown_messages_kind CHECK (kind IN ('caption', 'text', 'note', 'prompt', 'greeting', 'privacy', 'models', 'language', 'settings')),
	CONSTRAINT ck_shown_messages_place CHECK ((chat_id IS NOT NULL AND message_id IS NOT NULL) <> (inline_message_id IS NOT NULL)),
	CONSTRAINT fk_shown_messages_caption_id_captions FOREIGN KEY(caption_id) REFERENCES captions (id) ON DELETE CASCADE,
	CONSTRAINT fk_shown_messages_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE SET NULL,
	CONSTRAINT fk_shown_messages_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
	CONSTRAINT pk_shown_messages PRIMARY KEY (id),
	CONSTRAINT uq_shown_messages_chat_id_message_id UNIQUE (chat_id, message_id),
	CONSTRAINT uq_shown_messages_inline_message_id UNIQUE (inline_message_id)
);
CREATE TABLE tallies (
	id INTEGER NOT NULL,
	day VARCHAR(10) NOT NULL,
	kind VARCHAR(8) NOT NULL,
	detail VARCHAR(32) NOT NULL,
	number INTEGER NOT NULL,
	CONSTRAINT pk_tallies PRIMARY KEY (id)
);
CREATE TABLE tombstones (
	kind VARCHAR(8) NOT NULL,
	pseudonym VARCHAR(16) NOT NULL,
	erased_at DATETIME NOT NULL,
	CONSTRAINT ck_tombstones_kind CHECK (kind IN ('user', 'picture')),
	CONSTRAINT pk_tombstones PRIMARY KEY (kind, pseudonym)
);
CREATE TABLE totals (
	user_id INTEGER NOT NULL,
	version_id INTEGER NOT NULL,
	mark_1 INTEGER DEFAULT '0' NOT NULL,
	mark_2 INTEGER DEFAULT '0' NOT NULL,
	mark_3 INTEGER DEFAULT '0' NOT NULL,
	mark_4 INTEGER DEFAULT '0' NOT NULL,
	mark_5 INTEGER DEFAULT '0' NOT NULL,
	corrections INTEGER DEFAULT '0' NOT NULL,
	variants INTEGER DEFAULT '0' NOT NULL,
	CONSTRAINT fk_totals_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
	CONSTRAINT fk_totals_version_id_versions FOREIGN KEY(version_id) REFERENCES versions (id),
	CONSTRAINT pk_totals PRIMARY KEY (user_id, version_id)
);
CREATE TABLE turns (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	user_id INTEGER NOT NULL,
	caption_id INTEGER NOT NULL,
	job_id INTEGER,
	question TEXT NOT NULL,
	answer TEXT NOT NULL,
	model VARCHAR(128) NOT NULL,
	checkpoint VARCHAR(64) NOT NULL,
	program VARCHAR(16) NOT NULL,
	notes JSON NOT NULL,
	created_at DATETIME NOT NULL,
	CONSTRAINT fk_turns_caption_id_captions FOREIGN KEY(caption_id) REFERENCES captions (id) ON DELETE CASCADE,
	CONSTRAINT fk_turns_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE SET NULL,
	CONSTRAINT fk_turns_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE usage (
	day VARCHAR(10) NOT NULL,
	whose VARCHAR(16) NOT NULL,
	pictures INTEGER NOT NULL,
	CONSTRAINT pk_usage PRIMARY KEY (day, whose)
);
CREATE TABLE users (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	telegram_id BIGINT NOT NULL,
	username VARCHAR(64),
	language VARCHAR(16) NOT NULL,
	language_chosen BOOLEAN NOT NULL,
	consent BOOLEAN NOT NULL,
	active BOOLEAN NOT NULL,
	created_at DATETIME NOT NULL, model VARCHAR(128), compare_with TEXT, detail VARCHAR(16) DEFAULT 'usual' NOT NULL, quoting BOOLEAN DEFAULT 1 NOT NULL, told_in VARCHAR(8) DEFAULT 'ru' NOT NULL,
	CONSTRAINT uq_users_telegram_id UNIQUE (telegram_id)
);
CREATE TABLE versions (
	id INTEGER NOT NULL,
	model VARCHAR(128) NOT NULL,
	checkpoint VARCHAR(64) NOT NULL,
	captions BIGINT NOT NULL,
	CONSTRAINT pk_versions PRIMARY KEY (id),
	CONSTRAINT uq_versions_model_checkpoint UNIQUE (model, checkpoint)
);
CREATE INDEX ix_captions_asker_id ON captions (asker_id);
CREATE INDEX ix_captions_cache ON captions (picture_id, model, checkpoint, options_key);
CREATE INDEX ix_corrections_caption_id ON corrections (caption_id);
CREATE INDEX ix_corrections_user_id_caption_id ON corrections (user_id, caption_id);
CREATE INDEX ix_jobs_about_caption_id ON jobs (about_caption_id);
CREATE INDEX ix_jobs_caption_id ON jobs (caption_id);
CREATE INDEX ix_jobs_chat_id_reply_message_id ON jobs (chat_id, reply_message_id);
CREATE INDEX ix_jobs_lost_answers ON jobs (lost_answers) WHERE lost_answers > 0;
CREATE INDEX ix_jobs_sender ON jobs (sender);
CREATE INDEX ix_jobs_source_caption_id ON jobs (source_caption_id);
CREATE INDEX ix_jobs_state ON jobs (state);
CREATE INDEX ix_jobs_user_id ON jobs (user_id);
CREATE INDEX ix_pictures_kept_at ON pictures (kept_at);
CREATE INDEX ix_pictures_path ON pictures (path);
CREATE INDEX ix_posted_updates_held_at ON posted_updates (held_at);
CREATE INDEX ix_posted_updates_telegram_id ON posted_updates (telegram_id);
CREATE INDEX ix_ratings_caption_id ON ratings (caption_id);
CREATE INDEX ix_scores_shortfall_marks_caption_id_marked_at ON scores (shortfall, marks, caption_id, marked_at) WHERE kept = 1;
CREATE INDEX ix_sendings_sender ON sendings (sender);
CREATE INDEX ix_shown_messages_caption_id ON shown_messages (caption_id);
CREATE INDEX ix_shown_messages_job_id ON shown_messages (job_id);
CREATE INDEX ix_shown_messages_user_id ON shown_messages (user_id);
CREATE INDEX ix_turns_caption_id ON turns (caption_id);
CREATE INDEX ix_turns_job_id ON turns (job_id);
CREATE INDEX ix_turns_user_id ON turns (user_id);
CREATE TRIGGER totals_rated AFTER INSERT ON ratings FOR EACH ROW BEGIN INSERT INTO totals (user_id, version_id, mark_1, mark_2, mark_3, mark_4, mark_5) SELECT NEW.user_id, versions.id, CASE WHEN NEW.mark = 1 THEN 1 ELSE 0 END, CASE WHEN NEW.mark = 2 THEN 1 ELSE 0 END, CASE WHEN NEW.mark = 3 THEN 1 ELSE 0 END, CASE WHEN NEW.mark = 4 THEN 1 ELSE 0 END, CASE WHEN NEW.mark = 5 THEN 1 ELSE 0 END FROM captions JOIN versions ON versions.model = captions.model AND versions.checkpoint = captions.checkpoint WHERE captions.id = NEW.caption_id ON CONFLICT (user_id, version_id) DO UPDATE SET mark_1 = totals.mark_1 + excluded.mark_1, mark_2 = totals.mark_2 + excluded.mark_2, mark_3 = totals.mark_3 + excluded.mark_3, mark_4 = totals.mark_4 + excluded.mark_4, mark_5 = totals.mark_5 + excluded.mark_5; END;
CREATE TRIGGER totals_rated_anew AFTER UPDATE ON ratings FOR EACH ROW WHEN (OLD.mark <> NEW.mark) BEGIN UPDATE totals SET mark_1 = mark_1 + - CASE WHEN OLD.mark = 1 THEN 1 ELSE 0 END, mark_2 = mark_2 + - CASE WHEN OLD.mark = 2 THEN 1 ELSE 0 END, mark_3 = mark_3 + - CASE WHEN OLD.mark = 3 THEN 1 ELSE 0 END, mark_4 = mark_4 + - CASE WHEN OLD.mark = 4 THEN 1 ELSE 0 END, mark_5 = mark_5 + - CASE WHEN OLD.mark = 5 THEN 1 ELSE 0 END WHERE user_id = OLD.user_id AND version_id = (SELECT versions.id FROM captions JOIN versions ON versions.model = captions.model AND versions.checkpoint = captions.checkpoint WHERE captions.id = OLD.caption_id); UPDATE totals SET mark_1 = mark_1 + CASE WHEN NEW.mark = 1 THEN 1 ELSE 0 END, mark_2 = mark_2 + CASE WHEN NEW.mark = 2 THEN 1 ELSE 0 END, mark_3 = mark_3 + CASE WHEN NEW.mark = 3 THEN 1 ELSE 0 END, mark_4 = mark_4 + CASE WHEN NEW.mark = 4 THEN 1 ELSE 0 END, mark_5 = mark_5 + CASE WHEN NEW.mark = 5 THEN 1 ELSE 0 END WHERE user_id = NEW.user_id AND version_id = (SELECT versions.id FROM captions JOIN versions ON versions.model = captions.model AND versions.checkpoint = captions.checkpoint WHERE captions.id = NEW.caption_id); END;
CREATE TRIGGER totals_unrated AFTER DELETE ON ratings FOR EACH ROW BEGIN UPDATE totals SET mark_1 = mark_1 + - CASE WHEN OLD.mark = 1 THEN 1 ELSE 0 END, mark_2 = mark_2 + - CASE WHEN OLD.mark = 2 THEN 1 ELSE 0 END, mark_3 = mark_3 + - CASE WHEN OLD.mark = 3 THEN 1 ELSE 0 END, mark_4 = mark_4 + - CASE WHEN OLD.mark = 4 THEN 1 ELSE 0 END, mark_5 = mark_5 + - CASE WHEN OLD.mark = 5 THEN 1 ELSE 0 END WHERE user_id = OLD.user_id AND version_id = (SELECT versions.id FROM captions JOIN versions ON versions.model = captions.model AND versions.checkpoint = captions.checkpoint WHERE captions.id = OLD.caption_id); END;
CREATE TRIGGER totals_corrected AFTER INSERT ON corrections FOR EACH ROW BEGIN INSERT INTO totals (user_id, version_id, corrections) SELECT NEW.user_id, versions.id, 1 FROM captions JOIN versions ON versions.model = captions.model AND versions.checkpoint = captions.checkpoint WHERE captions.id = NEW.caption_id AND NOT EXISTS (SELECT 1 FROM corrections WHERE corrections.user_id = NEW.user_id AND corrections.caption_id = NEW.caption_id AND corrections.id <> NEW.id) ON CONFLICT (user_id, version_id) DO UPDATE SET corrections = totals.corrections + excluded.corrections; END;
CREATE TRIGGER totals_uncorrected BEFORE DELETE ON corrections FOR EACH ROW BEGIN UPDATE totals SET corrections = corrections + - 1 WHERE user_id = OLD.user_id AND version_id = (SELECT versions.id FROM captions JOIN versions ON versions.model = captions.model AND versions.checkpoint = captions.checkpoint WHERE captions.id = OLD.caption_id) AND NOT EXISTS (SELECT 1 FROM corrections WHERE corrections.user_id = OLD.user_id AND corrections.caption_id = OLD.caption_id AND corrections.id <> OLD.id); END;
CREATE TRIGGER totals_asked AFTER INSERT ON jobs FOR EACH ROW WHEN (NEW.source_caption_id IS NOT NULL) BEGIN INSERT INTO totals (user_id, version_id, variants) SELECT NEW.user_id, versions.id, 1 FROM captions JOIN versions ON versions.model = captions.model AND versions.checkpoint = captions.checkpoint WHERE captions.id = NEW.source_caption_id ON CONFLICT (user_id, version_id) DO UPDATE SET variants = totals.variants + excluded.variants; END;
CREATE TRIGGER totals_unasked AFTER DELETE ON jobs FOR EACH ROW WHEN (OLD.source_caption_id IS NOT NULL) BEGIN UPDATE totals SET variants = variants + - 1 WHERE user_id = OLD.user_id AND version_id = (SELECT versions.id FROM captions JOIN versions ON versions.model = captions.model AND versions.checkpoint = captions.checkpoint WHERE captions.id = OLD.source_caption_id); END;
CREATE TRIGGER totals_source_gone AFTER UPDATE ON jobs FOR EACH ROW WHEN (OLD.source_caption_id IS NOT NULL AND NEW.source_caption_id IS NULL) BEGIN UPDATE totals SET variants = variants + - 1 WHERE user_id = OLD.user_id AND version_id = (SELECT versions.id FROM captions JOIN versions ON versions.model = captions.model AND versions.checkpoint = captions.checkpoint WHERE captions.id = OLD.source_caption_id); END;
CREATE TRIGGER totals_captioned AFTER INSERT ON captions FOR EACH ROW BEGIN INSERT INTO versions (model, checkpoint, captions) VALUES (NEW.model, NEW.checkpoint, 1) ON CONFLICT (model, checkpoint) DO UPDATE SET captions = versions.captions + 1; END;
CREATE TRIGGER totals_caption_gone BEFORE DELETE ON captions FOR EACH ROW BEGIN DELETE FROM ratings WHERE caption_id = OLD.id; DELETE FROM corrections WHERE caption_id = OLD.id; UPDATE jobs SET source_caption_id = NULL WHERE source_caption_id = OLD.id; UPDATE versions SET captions = captions - 1 WHERE model = OLD.model AND checkpoint = OLD.checkpoint; END;
CREATE TRIGGER totals_tallied AFTER INSERT ON ratings FOR EACH ROW BEGIN INSERT INTO tallies (day, kind, detail, number) VALUES (substr(NEW.updated_at, 1, 10), 'mark', CAST(NEW.mark AS VARCHAR(1)), 1); INSERT INTO scores (caption_id, marks, total, shortfall, kept, marked_at) SELECT NEW.caption_id, 1, NEW.mark, 5.0 - NEW.mark, pictures.path IS NOT NULL, NEW.updated_at FROM captions JOIN pictures ON pictures.id = captions.picture_id WHERE captions.id = NEW.caption_id ON CONFLICT (caption_id) DO UPDATE SET marks = scores.marks + 1, total = scores.total + excluded.total, shortfall = 5.0 - (scores.total + excluded.total) * 1.0 / (scores.marks + 1), kept = excluded.kept, marked_at = excluded.marked_at; END;
CREATE TRIGGER totals_tallied_anew AFTER UPDATE OF mark, updated_at ON ratings FOR EACH ROW BEGIN INSERT INTO tallies (day, kind, detail, number) VALUES (substr(OLD.updated_at, 1, 10), 'mark', CAST(OLD.mark AS VARCHAR(1)), -1); INSERT INTO tallies (day, kind, detail, number) VALUES (substr(NEW.updated_at, 1, 10), 'mark', CAST(NEW.mark AS VARCHAR(1)), 1); UPDATE scores SET marks = marks, total = total + NEW.mark - OLD.mark, shortfall = 5.0 - (total + NEW.mark - OLD.mark) * 1.0 / (marks), marked_at = NEW.updated_at WHERE caption_id = NEW.caption_id; END;
CREATE TRIGGER totals_untallied AFTER DELETE ON ratings FOR EACH ROW BEGIN INSERT INTO tallies (day, kind, detail, number) VALUES (substr(OLD.updated_at, 1, 10), 'mark', CAST(OLD.mark AS VARCHAR(1)), -1); DELETE FROM scores WHERE caption_id = OLD.caption_id AND marks = 1; UPDATE scores SET marks = marks - 1, total = total - OLD.mark, shortfall = 5.0 - (total - OLD.mark) * 1.0 / (marks - 1) WHERE caption_id = OLD.caption_id AND marks > 1; END;
CREATE TRIGGER tallies_of_jobs_made AFTER INSERT ON jobs FOR EACH ROW WHEN (NEW.state IN ('answered', 'failed')) BEGIN INSERT INTO tallies (day, kind, detail, number) SELECT substr(NEW.updated_at, 1, 10), NEW.state, CASE WHEN NEW.state = 'failed' THEN coalesce(NEW.failure, '') ELSE '' END, 1 WHERE NEW.state IN ('answered', 'failed'); END;
CREATE TRIGGER tallies_of_jobs_changed AFTER UPDATE OF state, failure, updated_at ON jobs FOR EACH ROW WHEN (OLD.state IN ('answered', 'failed') OR NEW.state IN ('answered', 'failed')) BEGIN INSERT INTO tallies (day, kind, detail, number) SELECT substr(OLD.updated_at, 1, 10), OLD.state, CASE WHEN OLD.state = 'failed' THEN coalesce(OLD.failure, '') ELSE '' END, -1 WHERE OLD.state IN ('answered', 'failed'); INSERT INTO tallies (day, kind, detail, number) SELECT substr(NEW.updated_at, 1, 10), NEW.state, CASE WHEN NEW.state = 'failed' THEN coalesce(NEW.failure, '') ELSE '' END, 1 WHERE NEW.state IN ('answered', 'failed'); END;
CREATE TRIGGER tallies_of_jobs_gone AFTER DELETE ON jobs FOR EACH ROW WHEN (OLD.state IN ('answered', 'failed')) BEGIN INSERT INTO tallies (day, kind, detail, number) SELECT substr(OLD.updated_at, 1, 10), OLD.state, CASE WHEN OLD.state = 'failed' THEN coalesce(OLD.failure, '') ELSE '' END, -1 WHERE OLD.state IN ('answered', 'failed'); END;
CREATE TRIGGER scores_of_pictures AFTER UPDATE OF path ON pictures FOR EACH ROW WHEN ((OLD.path IS NULL) <> (NEW.path IS NULL)) BEGIN UPDATE scores SET kept = (NEW.path IS NOT NULL) WHERE caption_id IN (SELECT id FROM captions WHERE picture_id = NEW.id); END;
INSERT INTO alembic_version (version_num) VALUES ('0020');
