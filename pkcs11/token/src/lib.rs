//! What a PKCS #11 program sees of the appliance: slots, sessions, objects and operations.
//!
//! What is always true in this crate:
//!
//! - No C pointer comes in. `api` turns them into slices and values first, and turns the answers back.
//! - Everything locks for itself, whatever the program said to `C_Initialize`.
//! - No lock that closing or finalizing takes is held while the network is waited for, so both return at once.
//! - No thread local and no randomly seeded map is used: programs call us while their process is already ending.

#![forbid(unsafe_code)]

mod attributes;
mod cipher;
mod crypto;
mod der;
mod derive;
mod digest_info;
mod error;
mod find;
mod generate;
mod hash;
mod key;
mod keys;
mod lock;
mod mechanism;
mod messages;
mod module;
mod objects;
mod operation;
mod parameter;
mod pins;
mod plain;
mod public_key;
mod session;
mod slots;
mod template;
mod token;

pub use attributes::Template;
pub use error::Error;
pub use module::Module;
pub use operation::{Kind, Produced, Room};
pub use parameter::Parameter;
pub use template::Attributes;
