"""A trained model at work: labels of images, why they were found, and a model as a folder to hand on."""
