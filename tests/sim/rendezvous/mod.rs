//! Links between named peers: calls, glare, trickled candidates, ladders, hubs that die or lie.

mod calls;
mod glare;
mod ladder;
mod relay;
mod trickle;
