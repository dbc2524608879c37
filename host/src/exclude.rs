//! Leaves out what the user does not want to see.
