//! Tags each public destination with its country.
