//! Gives the shared library its soname, which cargo does not: programs that were linked to one
//! version of the ABI find that version.

fn main() {
    // As `TL_ABI_VERSION` in src/lib.rs; a test compares them.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libtearless.so.1");
    // Texts that calls return stay valid after a dlclose, and threads may still end.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rerun-if-changed=build.rs");
}
