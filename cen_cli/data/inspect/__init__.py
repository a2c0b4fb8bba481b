"""Looking into files: what a folder holds (`cen data init`), and what is wrong with a data set (`cen data check`)."""
