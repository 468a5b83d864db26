"""The support desk: an example home played on real parts, all of them on loopback."""
