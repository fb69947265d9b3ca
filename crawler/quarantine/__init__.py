"""Pages that killed or hung their worker twice: kept with what did it, to be looked at by daylight."""
