//! The Qianmo hub: it takes in what tablets wrote, makes it durable, judges it, and serves coordinators and dashboards.
//!
//! A library; the program with its command line is `server/bin`.

pub mod admin;
pub mod authority;
pub mod config;
pub mod connection;
pub mod hub;
pub mod listener;
pub mod registry;
