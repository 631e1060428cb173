"""Reports: rates, times and amounts over what was recorded until an instant, each with the rows it counts."""
