"""The links of the chain, one file each: what is looked at, what that means, and the mend."""
