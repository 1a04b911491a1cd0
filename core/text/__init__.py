"""From files to rows: documented methods in any form that data has. Without torch."""
