//! The event loop over all instances: admission, routing, hand-over, conservation.
