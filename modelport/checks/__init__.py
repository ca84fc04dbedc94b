"""What is wrong with a module before it is published: rules over its files, and over what came of running it."""
