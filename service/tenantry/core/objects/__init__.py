"""What Kustomize makes of one overlay: the objects, what they must be, and what they come to."""
