"""A world in one process: engines, fake kernels and links, all from one seed, on simulated time."""
