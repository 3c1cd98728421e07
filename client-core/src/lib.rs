//! The embeddable core of a Qianmo tablet: keeps what is written, and brings it to the hub when there is a network.

pub mod enroll;
pub mod transport;
