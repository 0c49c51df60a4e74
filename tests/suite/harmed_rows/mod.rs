//! Rows through time where files were harmed.

mod by_hand;
