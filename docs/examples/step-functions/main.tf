# An exported machine as a state machine, its queues, and who may do what. See README.md.
#
#   drfsm machine export promote --format asl --out promote.asl.json
#   terraform init && terraform apply -var machine=promote -var definition_file=promote.asl.json -var bucket=BUCKET -var prefix=PREFIX

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0, < 7.0"
    }
  }
}

data "aws_caller_identity" "here" {}
data "aws_region" "here" {}
data "aws_partition" "here" {}

module "documents" {
  source = "./documents"

  machine             = var.machine
  definition_file     = var.definition_file
  partition           = data.aws_partition.here.partition
  region              = data.aws_region.here.name
  account             = data.aws_caller_identity.here.account_id
  work_queue_arn      = aws_sqs_queue.work.arn
  work_queue_url      = aws_sqs_queue.work.url
  questions_queue_arn = aws_sqs_queue.questions.arn
  questions_queue_url = aws_sqs_queue.questions.url
  topic_arn           = aws_sns_topic.people.arn
  bucket              = var.bucket
  prefix              = var.prefix
}

# A message holds a task's token: whoever reads it can answer. It is encrypted, short-lived, and sent by one role only.
resource "aws_sqs_queue" "work" {
  name                       = "drfsm-${var.machine}-work"
  message_retention_seconds  = 3600
  visibility_timeout_seconds = 60
  sqs_managed_sse_enabled    = true
  redrive_policy             = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead.arn, maxReceiveCount = 5 })
}

resource "aws_sqs_queue" "questions" {
  name                       = "drfsm-${var.machine}-questions"
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = 30
  sqs_managed_sse_enabled    = true
}

resource "aws_sqs_queue" "dead" {
  name                      = "drfsm-${var.machine}-dead"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "work" {
  queue_url = aws_sqs_queue.work.url
  policy    = module.documents.work_queue_policy

  depends_on = [aws_iam_role.state_machine] # SQS refuses a policy that names nobody
}

resource "aws_sqs_queue_policy" "questions" {
  queue_url = aws_sqs_queue.questions.url
  policy    = module.documents.questions_queue_policy

  depends_on = [aws_iam_role.state_machine] # SQS refuses a policy that names nobody
}

resource "aws_sns_topic" "people" {
  name              = "drfsm-${var.machine}-people"
  kms_master_key_id = "alias/aws/sns"
}

resource "aws_iam_role" "state_machine" {
  name               = module.documents.state_machine_role_name
  assume_role_policy = module.documents.state_machine_trust_policy
}

resource "aws_iam_role_policy" "state_machine" {
  name   = "send"
  role   = aws_iam_role.state_machine.id
  policy = module.documents.policies.state_machine
}

# To be attached to whoever works, decides, and begins: three different ones.
resource "aws_iam_policy" "people" {
  for_each = { for name, policy in module.documents.policies : name => policy if name != "state_machine" }
  name     = "drfsm-${var.machine}-${each.key}"
  policy   = each.value
}

resource "aws_sfn_state_machine" "machine" {
  name       = module.documents.state_machine_name
  role_arn   = aws_iam_role.state_machine.arn
  definition = module.documents.definition

  logging_configuration {
    level                  = "ERROR"
    include_execution_data = false # it would hold the tokens
    log_destination        = "${aws_cloudwatch_log_group.machine.arn}:*"
  }
}

resource "aws_cloudwatch_log_group" "machine" {
  name              = "/aws/vendedlogs/states/drfsm-${var.machine}"
  retention_in_days = 90
}
