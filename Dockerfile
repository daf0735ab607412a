# The bot as an image:  docker build -t meme-describer .
# With PyTorch, for full-size presets, models of the hub and training:
#   docker build --target full -t meme-describer:full .
# CPU wheels of PyTorch make that one several times smaller; name an index that has them:
#   docker build --target full --build-arg PIP_EXTRA_INDEX_URL=<address of the index> -t meme-describer:full .
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS slim-packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
WORKDIR /build
COPY pyproject.toml constraints.txt README.md ./
# Only what the project needs, not the project: a change of its code does not repeat this step.
RUN /opt/venv/bin/python -m pip install -c constraints.txt '.[postgres,sentry]' \
    && /opt/venv/bin/python -m pip uninstall --yes meme-describer

FROM slim-packages AS full-packages
# pip reads this variable by itself. Of equal versions it takes the one with a local part, such as +cpu.
ARG PIP_EXTRA_INDEX_URL=""
RUN /opt/venv/bin/python -m pip install -c constraints.txt '.[postgres,sentry,train]' \
    && /opt/venv/bin/python -m pip uninstall --yes meme-describer

FROM scratch AS program
COPY bot bot
COPY inference inference
COPY train_scripts train_scripts
COPY checkpoints/meme-small checkpoints/meme-small
COPY checkpoints/lstm-navec-small checkpoints/lstm-navec-small
COPY checkpoints/clipcap-small checkpoints/clipcap-small

FROM python:${PYTHON}-slim-bookworm AS service
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin bot
WORKDIR /app
# The database and the kept pictures; everything else belongs to root, and the bot cannot change it.
RUN mkdir data && chown bot data
# Reachable from outside the container: the chat page (8080, without BOT_TOKEN: publish it to loopback) and the
# webhook (8081, with WEBHOOK_URL).
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 HEALTH_PORT=8082 SANDBOX_HOST=0.0.0.0 WEBHOOK_HOST=0.0.0.0
USER bot
VOLUME /app/data
EXPOSE 8080 8081
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['HEALTH_PORT'] + '/healthz', timeout=5)"]
CMD ["python", "-m", "bot", "run"]

FROM service AS full
COPY --from=full-packages /opt/venv /opt/venv
COPY --from=program / /app/

# The last one is what is built where no target is named.
FROM service AS slim
COPY --from=slim-packages /opt/venv /opt/venv
COPY --from=program / /app/
