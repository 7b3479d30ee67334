//! The configuration file: one struct file per section.
