"""What a training needs of the machine: files, devices, precision, captured steps, checkpoints."""
