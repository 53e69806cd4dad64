"""ADClick: interactive segmentation of a defect from clicks."""
