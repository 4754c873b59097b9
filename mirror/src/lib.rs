//! Channels of other hosts in this host's shared memory.
