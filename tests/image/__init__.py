"""The image, built here and run by runc as a kubelet would have it run. Needs root, buildah, debootstrap and runc."""
