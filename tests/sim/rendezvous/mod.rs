//! Links between named peers: calls, glare, trickled candidates, ladders, hubs that die or lie.

mod calls;
mod glare;
mod ladder;
mod lies;
mod moves;
mod relay;
mod trickle;
