"""Editor sessions without people: someone types code that is known, and takes what is right."""
