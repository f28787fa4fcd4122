"""What an application's environment needs, and what in it stands in the way. Shared by commands."""
