"""What torchvision makes of images, to compare our preprocessing with."""
