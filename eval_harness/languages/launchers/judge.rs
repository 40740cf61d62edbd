//! Says the nonce when a program's tests came to their normal end.

use std::io::{Read, Write};

/// What only the generated `main` holds.
pub struct Nonce(String);

/// Take the nonce; there is one only for the first that asks.
pub fn begin() -> Nonce {
    let mut said = String::new();
    let _ = std::io::stdin().read_to_string(&mut said);
    Nonce(said)
}

/// Say the nonce.
pub fn end(nonce: Nonce) {
    let mut output = std::io::stdout();
    let _ = write!(output, "\n{}\n", nonce.0.trim());
    let _ = output.flush();
}

/// Return whether the `main` of a program ended well.
pub fn is_well(ended: impl std::process::Termination) -> bool {
    let code = ended.report();
    format!("{code:?}") == format!("{:?}", std::process::ExitCode::SUCCESS)
}
