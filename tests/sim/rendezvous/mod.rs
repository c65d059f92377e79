//! Links between named peers: calls, glare, trickled candidates, escalations, hubs that die or lie.

mod again;
mod calls;
mod escalation;
mod glare;
mod goodbye;
mod lies;
mod moves;
mod relay;
mod trickle;
mod years;
