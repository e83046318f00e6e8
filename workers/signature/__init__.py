"""A signature is data: a manifest says what it needs, how its score is made, and how good it is.

Reading order: parts, scope (`requires`, and what is known of a study), manifest, folder (files, digest), score, schema.
Nothing here sees a voxel: features come by name. `workers.training` makes manifests, stage 8 scores by them.
"""
