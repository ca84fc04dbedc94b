"""The commands of `modelport`, one file each; what several of them need is in the packages beside them."""
