"""What a marketplace is told of a deployment, and whether that holds. See modelport/commands/nevermined.py."""
