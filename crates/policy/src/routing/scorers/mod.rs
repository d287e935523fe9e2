//! The criteria that the weighted router can combine, one file each.
