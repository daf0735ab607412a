"""From what people said about the captions to a better checkpoint, and from there to the bot.

``python -m train_scripts finetune`` reads the bot's export, continues the training of a checkpoint on it and
says in a report what that changed; ``python -m train_scripts promote`` puts the result in the place of the
model that serves.
"""
