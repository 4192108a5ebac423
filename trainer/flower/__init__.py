"""Training over several processes or machines with Flower (the extra `flower`); nothing else imports flwr."""
