"""Makes one frozen ``Settings`` from flags, environment variables and the profiles file."""
