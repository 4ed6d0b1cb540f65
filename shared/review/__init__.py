"""What people say of images: which ones they should look at, their corrections, and the export that these become."""
