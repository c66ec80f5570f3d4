"""What ``hatcnn bench`` runs: plain forms and ours in turn, beside the machine's ceilings."""
