"""What this program asks of the kernel."""
