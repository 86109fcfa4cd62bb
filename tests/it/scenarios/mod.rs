//! What a host must survive: one scenario a file, with its number. They run on virtual machines that update themselves from real
//! releases. Those that aren't ignored are the core set, part of `make test`; `make scenarios` runs all and prints a table.

mod s01_four_versions_in_a_row;
mod s02_updater_killed;
mod s04_power_cuts_while_updating;
mod s05_torn_partition_table;
mod s06_dirty_esp;
mod s07_disk_fails;
mod s07_esp_full_or_mounted;
mod s08_corrupt_kernel_image;
mod s09_panic_on_boot;
mod s10_hang_on_boot;
mod s11_root_not_found;
mod s12_damaged_image;
mod s13_flipped_bit;
mod s14_container_runtime_dead;
mod s15_health_check_of_an_application;
mod s16_health_flaps;
mod s17_power_blips_during_a_trial;
mod s18_rolled_back_version_offered_again;
mod s19_both_slots_bad;
mod s26_downgrade;
mod s27_machine_configuration;
mod s28_state_of_a_newer_version;
mod s29_first_boot_interrupted;
mod s30_copied_disk;
mod s34_restart_coordination;
