mod chain;
mod periods;
mod single;
mod stream;
