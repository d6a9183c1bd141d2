variable "machine" {
  description = "Name of the exported machine: promote or failback."
  type        = string

  validation {
    condition     = contains(["promote", "failback"], var.machine)
    error_message = "An execution can be begun of promote and of failback."
  }
}

variable "definition_file" {
  description = "What `drfsm machine export MACHINE --format asl` wrote."
  type        = string
}

variable "bucket" {
  description = "Bucket to which both sites publish; an approver reads the run's mirror there."
  type        = string
}

variable "prefix" {
  description = "Prefix below which both sites publish."
  type        = string
}
