"""`gearshift bench`: where the device sits underused, why, and which batch size to take."""
