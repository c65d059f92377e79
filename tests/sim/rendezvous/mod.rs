//! Links between named peers: calls, glare, trickled candidates, ladders, hubs that die or lie.

mod again;
mod calls;
mod glare;
mod ladder;
mod lies;
mod moves;
mod relay;
mod trickle;
mod years;
