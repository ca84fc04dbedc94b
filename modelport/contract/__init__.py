"""Plain data that the gateway, the model's process and third parties share."""
