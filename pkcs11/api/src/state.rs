//! The one piece of state that C callers share, and what every call passes through.
//!
//! Always true: the state is never freed, because a call in another thread may still use it; `C_Finalize` empties it
//! instead. It belongs to the process that made it. A child after fork sees another process id and acts as if there
//! were none: it neither locks nor drops anything of its parent's.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use privyseal_sys::{CKR_OK, CK_RV};
use privyseal_token::{Error, Module};

struct State {
    pid: u32,
    module: Module,
}

static STATE: AtomicPtr<State> = AtomicPtr::new(ptr::null_mut());

/// At this log level each call writes a line.
const CALLS: u8 = 8;

/// Runs the body of a function that needs the module.
pub fn answer(name: &str, body: impl FnOnce(&'static Module) -> Result<(), Error>) -> CK_RV {
    guarded(|| {
        let module = current().ok_or(Error::NotInitialized)?;
        let result = stop_panic(|| body(module));
        write_down(module, name, result);
        result
    })
}

/// Runs a body that works without the module, with the same protection.
pub fn guarded(body: impl FnOnce() -> Result<(), Error>) -> CK_RV {
    stop_panic(body).map_or_else(Error::code, |()| CKR_OK)
}

/// Makes the module of this process. Of several threads that try, one succeeds.
pub fn initialize() -> Result<(), Error> {
    let before = STATE.load(Ordering::Acquire);
    if belongs_here(before).is_some() {
        return Err(Error::AlreadyInitialized);
    }
    // A panic here must not print: the program's terminal is not ours. This is our copy of the standard library's hook,
    // nobody else's.
    std::panic::set_hook(Box::new(|_| {}));
    let made = Box::into_raw(Box::new(State { pid: process::id(), module: Module::new() }));
    match STATE.compare_exchange(before, made, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            write_down(&belongs_here(made).ok_or(Error::GeneralError)?.module, "C_Initialize", Ok(()));
            Ok(())
        }
        Err(_) => {
            // SAFETY: it came from a box just now and nobody else has seen it.
            drop(unsafe { Box::from_raw(made) });
            Err(Error::AlreadyInitialized)
        }
    }
}

/// Takes the module of this process away and empties it.
pub fn finalize() -> Result<(), Error> {
    let state = STATE.load(Ordering::Acquire);
    let module = &belongs_here(state).ok_or(Error::NotInitialized)?.module;
    STATE
        .compare_exchange(state, ptr::null_mut(), Ordering::AcqRel, Ordering::Acquire)
        .map_err(|_| Error::NotInitialized)?;
    module.close();
    write_down(module, "C_Finalize", Ok(()));
    Ok(())
}

fn current() -> Option<&'static Module> {
    belongs_here(STATE.load(Ordering::Acquire)).map(|state| &state.module)
}

fn belongs_here(state: *mut State) -> Option<&'static State> {
    // SAFETY: STATE only ever holds NULL or a box that is never freed.
    let state = unsafe { state.as_ref() }?;
    (state.pid == process::id()).then_some(state)
}

/// A panic must not reach C, where it would end the program.
fn stop_panic(body: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(Error::GeneralError))
}

fn write_down(module: &Module, name: &str, result: Result<(), Error>) {
    let log = module.log();
    if log.is_on(CALLS) {
        log.write(CALLS, &format!("{name}: {}", result.err().map_or("CKR_OK", Error::name)));
    } else if result == Err(Error::GeneralError) {
        log.write(1, &format!("{name}: a fault of this module"));
    }
}
