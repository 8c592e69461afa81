//! Stories about Kith, told at its promised interface: a real server, real HTTP, real sockets, real databases.

mod support;
