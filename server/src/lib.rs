//! The Qianmo hub: it takes in what tablets wrote, makes it durable, judges it, and serves coordinators and dashboards.
//!
//! A library; the program with its command line is `server/bin`.

pub mod admin;
pub mod api;
pub mod authority;
pub mod config;
pub mod connection;
pub mod hub;
pub mod listener;
pub mod metrics;
pub mod pages;
pub mod password;
pub mod projection;
pub mod registry;
pub mod server;
mod times;
pub mod web;

pub use server::{BindError, RunError, Server, ServerHandle, StartOptions};

/// The protocol's types, which stand in this library's signatures.
pub use qianmo_protocol as protocol;
