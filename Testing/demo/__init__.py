"""The main job on shipped samples: a partly segmented scene teaches a model that segments the rest of it.

python3 Testing/run.py demo [--out DIR]
"""
