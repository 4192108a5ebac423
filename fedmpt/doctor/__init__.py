"""fedmpt doctor: what of this installation works, and what to do about the rest."""
