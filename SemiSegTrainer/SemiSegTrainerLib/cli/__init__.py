"""The command `semiseg`: training, prediction and evaluation without Slicer."""
