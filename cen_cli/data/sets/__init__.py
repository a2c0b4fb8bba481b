"""The data sets, one file each: the built-in rooms, published ones, folders of one's own."""
